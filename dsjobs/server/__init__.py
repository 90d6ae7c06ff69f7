"""The DataSphere REST API on this machine, over a backend. It never imports the datasphere backend, nor is imported by it."""
