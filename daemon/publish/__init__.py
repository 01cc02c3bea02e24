"""From the spool to the outbox: whole, once, over nothing."""

from daemon.publish.package import job_facts, package_result, zip_name_of
from daemon.publish.publisher import Publisher

__all__ = ["Publisher", "job_facts", "package_result", "zip_name_of"]
