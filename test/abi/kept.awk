# kept.awk BASELINE NOW: the lines of layout.awk and of numbers.sh, then and now. Prints what a
# program that was built then would stumble over; what has been added is no such thing:
# - every number, member and callback type is there, unchanged;
# - a struct has its size, or, if `size` is its first member, has grown behind its old end.
NR == FNR {
    was[$0] = 1
    if ($1 == "struct") size[$2] = $3
    if ($0 ~ /^member [a-z0-9_]+ 0 size size_t$/) can_grow[$2] = 1
    next
}
{ is[$0] = 1 }
$1 == "struct" && ($2 in size) {
    now[$2] = $3
    if ($3 + 0 < size[$2] + 0) print $2 " has shrunk: " size[$2] " bits then, " $3 " now"
    if ($3 + 0 > size[$2] + 0 && !($2 in can_grow)) print $2 " has grown, and does not begin with its size"
}
$1 == "member" && ($2 in size) && !($0 in was) && $3 + 0 < size[$2] + 0 { print "new inside " $2 ": " $0 }
END {
    for (line in was)
        if (!(line in is) && line !~ /^struct /)
            print "gone or changed: " line
    for (name in size)
        if (!(name in now)) print "gone: struct " name
}
