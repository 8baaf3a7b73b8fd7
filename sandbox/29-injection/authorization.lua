-- attack: the redacted header under another spelling
-- why: redaction knows the header in any case
-- class: 29
-- expect: field /request/headers/Authorization "REDACTED"
-- expect: field /request/headers/Authorization nil

return 1
