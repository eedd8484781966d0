"""The pull-request flow: compare with a base, build what differs apart from it, report.

Comes in: a loaded workspace (the head) and a git ref or directory (the base). Goes out: a run in an environment of its
own, `ci-NAME`, and a report. Always holds: nothing that belongs to the base's environment is written; what is not
built is read from there. May import: everything but `cli` and `app`.
"""
