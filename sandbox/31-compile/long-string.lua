-- attack: an unterminated long bracket
-- why: the lexer reports the error
-- class: 31
-- cve: CVE-2025-46819
-- expect: error "Malformed string"

return [==[ x ]=]
