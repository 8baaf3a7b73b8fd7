-- attack: expands a few hundred bytes to 64 MiB
-- why: what a compressed text expands to is limited while it grows
-- class: 30
-- expect: error "the result is longer than 8388608 bytes"
-- expect: stopped

local gzip = require 'kong.tools.gzip'
local once = gzip.inflate_gzip(ngx.decode_base64('H4sIAAAAAAACA+3cr05CcRTA8YtcNyYbYiAZ5BGIFAYazAbNjgcgkmVzJgsvQWZjc7PSeAO02f0TnDM5L9z7GL/z+aSTTzw7+549NrLSQf1jXavth9n8f/nVOMoAAACAxM1e7+vlMSDrFtvLqxsAAAAgdePjVl4dBf5uT8+tAwAAAJL3MOi3qw+B77tJbh0AAACQvM7v26i6BWyKp5Nr+wAAAIDkvQgGAAAAQCiCAQAAABCLYAAAAADEIhgAAAAAwQgGAAAAQCyCAQAAABCLYAAAAADEIhgAAAAAwQgGAAAAQCyCAQAAABDLYtDvlo8B7Z9iOrw4zAAAAIjkufnZe1/th3wHPEzs+uL+AAA='))
return #gzip.inflate_gzip(once)
