-- attack: changes the module that others require
-- why: modules are frozen
-- class: 15
-- expect: error "readonly"

require('cjson').encode = function() return 'evil' end
