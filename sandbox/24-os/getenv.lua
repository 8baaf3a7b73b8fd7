-- attack: reads the environment
-- why: os.getenv is absent
-- class: 24
-- expect: error "attempt to call"

return os.getenv('PATH')
