-- attack: a look-ahead inside a loop over a large text
-- why: the regular expression engine checks the deadline
-- class: 6
-- cve: CVE-2024-31228
-- expect: stopped

return ngx.re.match(('a'):rep(2^20), '(?:(?=.*b)a)*c', 's')
