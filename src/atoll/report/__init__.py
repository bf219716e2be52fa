"""Draws reports: panels as HTML, on a page of their own or in a notebook."""
