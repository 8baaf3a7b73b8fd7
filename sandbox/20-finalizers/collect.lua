-- attack: controls the garbage collector
-- why: collectgarbage is absent
-- class: 20
-- cve: CVE-2024-46981
-- expect: error "attempt to call"

collectgarbage('collect')
