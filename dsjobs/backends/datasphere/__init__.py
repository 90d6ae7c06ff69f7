"""The DataSphere API v2 as a backend: Project.Execute, Project.Open and the operations that they start."""
