# stand_in.awk: public headers in, C out: a library with all of their functions and nothing in them.
# Its debug information is the interface and no more: no private type, no file of lib/.
/^IMAGINE_API / { is_open = 1; text = "" }
is_open { text = text $0 "\n" }
is_open && /;/ {
    is_open = 0
    sub(/;[^;]*$/, "", text)
    sub(/\)[ \n]*__attribute__.*$/, ")", text) # a definition may not have it there
    print text (text ~ /^IMAGINE_API void [a-z]/ ? " {}" : " { return 0; }")
}
