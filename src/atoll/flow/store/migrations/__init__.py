"""The migrations of a node's database; ``store/migrate.py`` runs them."""
