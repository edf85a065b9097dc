"""The live server: one community running with a policy, streamed to viewers, steered by REST and WebSocket."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("smartgrid-marl")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"
