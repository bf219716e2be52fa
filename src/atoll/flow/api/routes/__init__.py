"""The routers, one file a resource; each handler is a few lines over a service."""
