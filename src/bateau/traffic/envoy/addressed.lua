-- Makes a request one for the service of this cluster: its host, its path, and the name that the model has there.
-- HOST, PATH and MODEL are set above. MODEL is a JSON string without its quotes.
-- Envoy has the same headers for all tries of a request: what another service was sent must not be sent to this one.

-- Replaces each `model` of the outermost object, and nothing else. Nil if there is none.
local function renamed(text)
  local depth, at, kept, pieces = 0, 1, 1, nil
  while true do
    local place = text:find('["{}%[%]]', at)
    if not place then break end
    local byte = text:byte(place)
    at = place + 1
    if byte == 123 or byte == 91 then
      depth = depth + 1
    elseif byte ~= 34 then
      depth = depth - 1
    else
      local stop = place
      repeat
        stop = text:find('["\\]', stop + 1)
        if not stop then return nil end
        local escapes = text:byte(stop) == 92
        if escapes then stop = stop + 1 end
      until not escapes
      at = stop + 1
      if depth == 1 and text:sub(place + 1, stop - 1) == 'model' then
        local first, after = text:match('^%s*:%s*()"[^"\\]*"()', at)
        if first then
          pieces = pieces or {}
          pieces[#pieces + 1] = text:sub(kept, first - 1) .. '"' .. MODEL .. '"'
          kept, at = after, after
        end
      end
    end
  end
  if not pieces then return nil end
  pieces[#pieces + 1] = text:sub(kept)
  return table.concat(pieces)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  headers:replace(':authority', HOST)
  local path = headers:get('x-bateau-path') or headers:get(':path')
  headers:replace(':path', PATH .. path:sub(#'/v1' + 1))
  headers:remove('authorization')
  headers:remove('x-bateau-prefix')
  local body = handle:body()
  if not body then return end
  local text = renamed(body:getBytes(0, body:length()))
  if text then
    body:setBytes(text)
    if headers:get('content-length') then headers:replace('content-length', tostring(#text)) end
  end
end
