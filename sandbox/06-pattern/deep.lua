-- attack: a pattern that recurses deeply
-- why: the recursion depth of the matcher is limited
-- class: 6
-- cve: CVE-2024-31228
-- expect: error "pattern too complex"
-- expect: stopped
-- expect: limited

return (('x'):rep(3e5)):match(('x?'):rep(2e5))
