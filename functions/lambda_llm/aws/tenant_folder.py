"""Where a tenant's objects are, below a prefix that tenants share."""

import hashlib


def tenant_folder(tenant: str) -> str:
    """A folder of one tenant, with a slash at its end: 64 hex digits, whatever the tenant is called.

    It does not show the name, but confirms a guess. No folder begins with another one.

    Args:
        tenant: as the authorizer names it.
    """
    return hashlib.sha256(b"tenant:" + tenant.encode()).hexdigest() + "/"
