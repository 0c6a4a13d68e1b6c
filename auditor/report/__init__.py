"""Reports: each module renders an `AuditReport` to a string. They see the core only."""
