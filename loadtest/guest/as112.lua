-- What guests/as112 says of names below its zones, as an action of dnsdist. `zones` has, by a zone's name,
-- what follows the question in the reply for a name of one letter below it, in hexadecimal as the name is,
-- and where the low bytes of compression pointers are in that.
local ffi, bit = require('ffi'), require('bit')
local C = ffi.C

local function bytes(hex)
  return (hex:gsub('..', function(digits) return string.char(tonumber(digits, 16)) end))
end

local answers = {}
for name, zone in pairs(zones) do
  answers[bytes(name)] = { records = bytes(zone[1]), pointers = zone[2] }
end

local raw, raw_len = ffi.new('const char *[1]'), ffi.new('size_t[1]')

addAction(AllRule(), LuaFFIAction(function(query)
  C.dnsdist_ffi_dnsquestion_get_qname_raw(query, raw, raw_len)
  local len = tonumber(raw_len[0])
  local qname = string.lower(ffi.string(raw[0], len))
  local at = 2 + string.byte(qname)
  while at < len do
    local answer = answers[string.sub(qname, at)]
    if answer then
      local records, pointers = answer.records, answer.pointers
      local question_end = 12 + len + 4
      C.dnsdist_ffi_dnsquestion_set_len(query, question_end + #records)
      local packet = ffi.cast('uint8_t *', C.dnsdist_ffi_dnsquestion_get_header(query))
      -- QR, AA, and RD as it was; NXDOMAIN; one question, one record as authority.
      packet[2] = bit.bor(0x84, bit.band(packet[2], 1))
      packet[3] = 3
      packet[6], packet[7], packet[8], packet[9], packet[10], packet[11] = 0, 0, 0, 1, 0, 0
      ffi.copy(packet + question_end, records, #records)
      -- What they point to is as much further away as the zone is: one letter and its length are two bytes.
      local further = at - 1 - 2
      for i = 1, #pointers do
        local low = packet + question_end + pointers[i]
        local target = low[0] + further
        low[-1] = low[-1] + bit.rshift(target, 8)
        low[0] = bit.band(target, 255)
      end
      return DNSAction.HeaderModify
    end
    at = at + 1 + string.byte(qname, at)
  end
  return DNSAction.Refused
end))
