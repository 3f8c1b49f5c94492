"""What is on disk: tables, migrations, and the two ways to open a transaction."""
