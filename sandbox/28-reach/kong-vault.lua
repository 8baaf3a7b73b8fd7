-- attack: reads a secret that no setting allows from the vault
-- why: kong.vault reads the environment variables of vault.env.allow alone
-- class: 28
-- expect: value "nil could not get value from vault: the setting vault.env.allow does not name the environment variable SECRET [{vault://env/secret}]"

local value, err = kong.vault.get("{vault://" .. "env/secret}") return tostring(value) .. " " .. err
