-- attack: reaches processes, files and the environment
-- why: os contains only clock and date functions, and io only type
-- class: 24
-- expect: value true

return os.exit == nil and os.getenv == nil and os.execute == nil and os.remove == nil and os.tmpname == nil and io.open == nil
