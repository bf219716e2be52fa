"""Every call of the API as a function that makes it and opens no socket."""
