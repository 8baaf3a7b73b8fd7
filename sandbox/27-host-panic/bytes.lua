-- attack: passes host functions bytes that are not UTF-8
-- why: host functions accept any bytes
-- class: 27
-- expect: value true

local b = string.char(255, 0, 254, 195)
for _, f in pairs({kong.request.get_header, kong.request.get_query_arg, kong.response.get_header, ngx.escape_uri, ngx.unescape_uri, ngx.md5, ngx.encode_base64, ngx.decode_base64, ngx.quote_sql_str, ngx.decode_args, ngx.parse_http_time, ngx.crc32_long}) do pcall(f, b) end
return ngx.var[b] == nil
