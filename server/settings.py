"""Settings of the server: flags over environment variables (`SMARTGRID_PORT=9000`) over the defaults here.

`python -m server --help` lists them; a list is given as JSON in the environment (`SMARTGRID_ORIGINS='["https://a"]'`).
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal

import platformdirs
from limits import parse
from pydantic import Field, FilePath, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from server.requests import Speed

PAGES = (Path(__file__).parent / "page", Path(__file__).parent.parent / "web")  # in a wheel, in a checkout


class Settings(BaseSettings):
    """Everything an operator can choose. Defaults are safe: only this machine can connect."""

    model_config = SettingsConfigDict(env_prefix="SMARTGRID_", extra="ignore")

    # Where
    host: str = Field(
        default="127.0.0.1", description="Address to listen on; any but a loopback address needs a token."
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port; 0 takes a free one.")
    root_path: str = Field(default="", description="Path prefix that a proxy strips.")
    trusted_proxies: str = Field(
        default="127.0.0.1", description="Proxies whose X-Forwarded-… headers count; * for all."
    )

    # What runs
    checkpoint: str | None = Field(
        default=None, description="Trained policy: a run folder, a checkpoint, or a shipped name."
    )
    scenario: str | None = Field(
        default=None, description="Scenario to begin with; None: the one the policy was trained on."
    )
    policy: str | None = Field(
        default=None, description="Policy to begin with by name; None: the checkpoint's, or a shipped."
    )
    seed: int = Field(default=0, ge=0, lt=2**53, description="Seed of the first community.")
    speed: Speed = Field(default=10.0, description="Steps a second, 0.1 to 100, or `max`.")
    autostart: bool = Field(
        default=True, description="Begin with a community running; a client's first start replaces it."
    )

    # Where things lie
    runs_dir: Path = Field(
        default=Path("runs"), description="The folder of training runs; policies load by name from it."
    )
    data_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("smartgrid-marl", appauthor=False)),
        description="Recordings, saved scenarios, uploads, comparisons.",
    )
    web_dir: Path = Field(
        default_factory=lambda: next((folder for folder in PAGES if folder.is_dir()), PAGES[-1]),
        description="The page's files; libraries in its node_modules.",
    )

    # Who may
    token: SecretStr | None = Field(
        default=None, description="Bearer token; made and printed where one is needed and none set."
    )
    hosts: list[str] = Field(
        default=[], description="Names clients may address the server by; [] suits `host`; * for any."
    )
    origins: list[str] = Field(
        default=[], description="Other web origins whose pages may connect, e.g. https://grid.example."
    )
    rest_limit: str = Field(default="1200/minute", description="REST requests a client may make; empty: no limit.")
    handshake_limit: str = Field(
        default="3000/minute", description="WebSocket handshakes of one client; empty: no limit."
    )
    failure_limit: str = Field(default="30/minute", description="Wrong tokens of one client before it has to wait.")
    command_limit: str = Field(default="600/minute", description="WebSocket commands of one viewer; empty: no limit.")
    max_body_bytes: int = Field(default=1 << 20, ge=1024, description="Largest body of a request but an upload.")
    max_upload_bytes: int = Field(default=64 << 20, ge=1024, description="Largest CSV file that can be uploaded.")
    max_message_bytes: int = Field(default=64 << 10, ge=1024, description="Largest WebSocket message from a viewer.")
    max_viewers: int = Field(
        default=2000, ge=1, description="WebSocket connections at a time; more are closed with 1013."
    )
    auth_timeout_s: float = Field(
        default=5.0, gt=0, description="Time a viewer has for its first message, with a token set."
    )
    ssl_certfile: FilePath | None = Field(default=None, description="Certificate chain (PEM) for TLS.")
    ssl_keyfile: FilePath | None = Field(default=None, description="Its private key.")
    ssl_keyfile_password: SecretStr | None = Field(default=None, description="Password of the key.")

    # What is kept
    record: bool = Field(default=True, description="Record every run.")
    recordings_max_bytes: int = Field(
        default=2 << 30, ge=1 << 20, description="Room for recordings; the oldest unpinned ones go first."
    )

    uploads_max_bytes: int = Field(default=1 << 30, ge=1024, description="Room for uploaded CSV files together.")

    # How
    frame_hz: float = Field(default=30.0, gt=0, le=100, description="Frames a second a viewer gets at most.")
    heartbeat_s: float = Field(default=5.0, gt=0, description="A status message goes out at least this often.")
    stuck_s: float = Field(default=5.0, gt=0, description="A viewer that reads nothing for so long is cut off.")
    torch_threads: int = Field(default=1, ge=1, description="Threads of a step; one is fastest for one community.")
    shutdown_s: float = Field(default=5.0, gt=0, description="Time open requests have when the server stops.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")
    log_format: Literal["text", "json"] = Field(
        default="text", description="One line of text or one JSON object an event."
    )

    @field_validator("rest_limit", "handshake_limit", "failure_limit", "command_limit")
    @classmethod
    def _is_a_rate(cls, text: str) -> str:
        try:
            _ = text and parse(text)
        except ValueError:
            raise ValueError("expected a rate such as 1200/minute or 10/second, or nothing for no limit") from None
        return text

    @field_validator("token")
    @classmethod
    def _not_empty(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and len(token.get_secret_value()) < 16:
            raise ValueError("a token needs at least 16 characters: leave it out and one is made")
        return token

    @model_validator(mode="after")
    def _both_of_tls(self) -> Settings:
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise ValueError("TLS needs both ssl_certfile and ssl_keyfile")
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def token_text(self) -> str | None:
        """The token in the clear, for comparing."""
        return None if self.token is None else self.token.get_secret_value()

    @property
    def scenarios_dir(self) -> Path:
        """Scenarios saved by users, NAME.toml."""
        return self.data_dir / "scenarios"
