"""What is done with a plan: exploration, tables, savings, triggered messages, and what-if."""
