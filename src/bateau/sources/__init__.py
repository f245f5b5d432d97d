"""Where specs and models come from: the adapters behind ports.source, ports.texts and ports.foreign."""
