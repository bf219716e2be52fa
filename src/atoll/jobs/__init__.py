"""Jobs as frozen data: definition, validation, plan and approval; nothing runs here."""
