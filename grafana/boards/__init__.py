"""The dashboards as typed Python, a module each, of parts that they share. `grafana/generate.py` writes their JSON."""
