"""What happens because time passes: invoices that are due, registrations that vanished."""
