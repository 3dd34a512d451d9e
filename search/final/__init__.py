"""The model that is handed over: chosen, retrained, tested once and exported."""
