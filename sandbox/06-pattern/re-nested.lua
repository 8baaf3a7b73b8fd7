-- attack: a regular expression of exponential cost
-- why: the regular expression engine checks the deadline
-- class: 6
-- cve: CVE-2022-36021
-- expect: stopped
-- expect: value nil

return ngx.re.match(('a'):rep(2^16), '(a|aa)+$b(?!c)')
