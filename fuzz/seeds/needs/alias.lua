local r = kong.request
return r["get_raw_body"]()