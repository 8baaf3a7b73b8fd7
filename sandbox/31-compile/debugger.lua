-- attack: a debugger that reads past its input
-- why: debug is absent
-- class: 31
-- cve: CVE-2021-32672
-- expect: error "attempt to index"

debug.sethook(print, 'c')
