"""Plain Kubernetes objects, without any operator."""
