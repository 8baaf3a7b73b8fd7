-- attack: changes a module that other scripts require
-- why: module tables are frozen
-- class: 15
-- expect: error "readonly"

require('cjson').encode = function() return 'evil' end
