"""One module a version. What has been released is never changed again: the next change is the next version."""
