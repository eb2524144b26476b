local t = {}
for i = 1, 20000 do t[i] = (i * 7919) % 20011 end
table.sort(t)
print(#t, t[1], t[#t], math.pi, string.format("%q", "a\0b\n"))
for k, v in string.gmatch("a=1, b=2", "(%w+)=(%w+)") do io.write(k, v, "\n") end
local f = assert(io.open(arg[1] .. "/f", "w"))
f:write(("x"):rep(100000))
f:close()
print(#io.open(arg[1] .. "/f"):read("a"), io.read("l"), io.read("n"))
print((pcall(error, {})))
print(select("#", coroutine.resume(coroutine.create(function() coroutine.yield(1, 2) end))))
print(os.time({year = 2020, month = 1, day = 1, hour = 12}), os.getenv("HOME"), io.open("missing"))
collectgarbage()
io.stderr:write("done\n")
os.exit(6)
