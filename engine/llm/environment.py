"""What the environment's variables do to requests: proxies, certificates, headers. What is wrong with them, by name."""

from __future__ import annotations

import ipaddress
import os
import ssl
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

__all__ = ["address_of", "blamed", "is_loopback", "problem_of", "proxy_of"]

_OPENAI = "https://api.openai.com/v1"
_PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")
_HEADERS = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
_SCHEMES = ("http", "https", "socks5", "socks5h")


def address_of(base_url: str) -> str:
    """Return the address that requests go to: OpenAI's, or what OPENAI_BASE_URL says, if none is configured."""
    return base_url or os.environ.get("OPENAI_BASE_URL", "").strip() or _OPENAI


def is_loopback(address: str) -> bool:
    """Return whether an address is on this machine, by its name alone."""
    host = _host(address)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return False
    return number.is_loopback or number.is_unspecified


def problem_of(base_url: str) -> str:
    """Return what in the environment keeps an endpoint from being asked, by the variable's name; empty if nothing."""
    address = address_of(base_url)
    for name in _HEADERS:
        value = os.environ.get(name, "")
        if not (value.isascii() and value.isprintable()):
            return f"{name} holds a character that no request can carry"
    if is_loopback(address):
        return ""
    for name, value in _proxies():
        scheme = value.partition("://")[0].lower() if "://" in value else "http"
        if scheme not in _SCHEMES:
            return f"{name} names a proxy of a kind that is not known here ({scheme}); http, https and socks5 are"
        if scheme.startswith("socks") and find_spec("socksio") is None:
            return f"{name} names a SOCKS proxy, which needs a package: pip install 'asi-evolve-tui[socks]'"
        if not _valid(value):
            return f"{name} holds no address of a proxy"
    return _certificates()


def proxy_of(base_url: str) -> str:
    """Return the proxy that requests to an endpoint pass, with its variable, for people; empty if they pass none."""
    address = address_of(base_url)
    if is_loopback(address) or proxy_bypass(_host(address)):
        return ""
    wanted = (f"{urlsplit(address).scheme}_proxy", "all_proxy")
    for name, value in sorted(_proxies(), key=lambda found: found[0].lower() not in wanted[:1]):
        if name.lower() in wanted and _valid(value):
            url = urlsplit(value if "://" in value else f"http://{value}")
            # Without its name and password.
            return f"the proxy {url.hostname}:{url.port or ''} ({name})".replace(": (", " (")
    return ""


def blamed(base_url: str) -> str:
    """Return the variables that may keep a client from being made, for an error that names none."""
    names = [name for name, _ in _proxies()]
    names += [name for name in ("NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", *_HEADERS)
              if os.environ.get(name)]  # fmt: skip
    return ", ".join(names) or f"no variable known to matter ({address_of(base_url)})"


def _proxies() -> list[tuple[str, str]]:
    """Return the variables that name proxies; lower case goes first, as everywhere."""
    names = [variant for name in _PROXIES for variant in (name.lower(), name)]
    return [(name, value) for name in names if (value := os.environ.get(name, "").strip())]


def _valid(proxy: str) -> bool:
    try:
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        return bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        return False


def _certificates() -> str:
    """Return what is wrong with the variables that name certificates."""
    file, folder = os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", "")
    if file:
        try:
            ssl.create_default_context(cafile=file)
        except (OSError, ssl.SSLError) as exc:
            return f"SSL_CERT_FILE names {file}, which holds no certificates that can be read: {exc.strerror or exc}"
    elif folder and not Path(folder).is_dir():
        return f"SSL_CERT_DIR names {folder}, which is no folder"
    keys = os.environ.get("SSLKEYLOGFILE", "")
    if keys and not os.access(Path(keys) if Path(keys).exists() else Path(keys).absolute().parent, os.W_OK):
        return f"SSLKEYLOGFILE names {keys}, which cannot be written"
    return ""


def _host(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""
