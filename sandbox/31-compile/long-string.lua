-- attack: a long bracket that never ends
-- why: the lexer says so
-- class: 31
-- cve: CVE-2025-46819
-- expect: error "Malformed string"

return [==[ x ]=]
