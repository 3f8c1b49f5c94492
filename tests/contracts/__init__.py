"""The published contracts: true of the service that runs, and good for other people's tools."""
