"""The name of the rule by which ids are made comparable; it enters digests and plans."""

ID_RULE = "id-rule/v1"
