-- attack: replaces kong.request.get_header
-- why: module tables are frozen
-- class: 15
-- cve: CVE-2022-24735
-- expect: error "readonly"

kong.request.get_header = function() return 'evil' end
