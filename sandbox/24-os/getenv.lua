-- attack: reads the environment
-- why: os.getenv is not there
-- class: 24
-- expect: error "attempt to call a nil value"

return os.getenv('PATH')
