"""Rules, dashboards and monitors for the monitoring systems of others."""
