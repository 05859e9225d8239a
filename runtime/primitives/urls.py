"""Which text on the chain is an address that programs may follow."""

SCHEMES = ("http://", "https://")


def is_url(url: str) -> bool:
    """Say whether a url is one a client may follow: web scheme, a host, no spaces, no credentials."""
    scheme = next((scheme for scheme in SCHEMES if url.startswith(scheme)), None)
    if scheme is None or not url.isascii() or not url.isprintable() or " " in url:
        return False
    authority = url[len(scheme) :].partition("/")[0]
    return bool(authority.partition(":")[0]) and "@" not in authority
