"""The controller's HTTP server, by starlette and uvicorn."""
