# bash completion for cxgctl; it needs no other package                                 -*- shell-script -*-

# Bash splits words at the characters of COMP_WORDBREAKS, such as = and :. This function joins what no blank separates,
# up to the cursor, without quotes and backslashes, into the array words.
__cxgctl_words() {
	local line=${COMP_LINE:0:COMP_POINT} word i n=-1
	words=()
	for ((i = 0; i <= COMP_CWORD; i++)); do
		if [[ $i -eq 0 || -z $line || $line == [[:blank:]]* ]]; then
			line=${line#"${line%%[![:blank:]]*}"}
			words[++n]=
		fi
		word=${COMP_WORDS[i]}
		((i < COMP_CWORD)) || word=$line
		line=${line#"$word"}
		words[n]+=${word//[\\\"\']/}
	done
}

__cxgctl() {
	local words out directive current typed word text note width=0 i tab=$'\t' reply=()
	__cxgctl_words
	for i in "${!words[@]}"; do
		[[ ${words[i]} != '~/'* ]] || words[i]=$HOME/${words[i]:2}
	done
	current=${words[${#words[@]}-1]}
	[[ $current != -*=* ]] || current=${current#*=}
	typed=${2//[\\\"\']/}
	out=$("${words[0]}" __complete "${words[@]:1}" 2>/dev/null) || return 0
	directive=${out##*:}
	COMPREPLY=()

	if ((directive & 16)); then # folders
		while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -d -- "$typed")
		compopt -o filenames 2>/dev/null
		return 0
	fi
	! ((directive & 2)) || compopt -o nospace 2>/dev/null
	! ((directive & 4)) || compopt +o default 2>/dev/null

	while IFS= read -r word; do
		text=${word%%"$tab"*}
		[[ -n $text && $text == "$current"* ]] || continue
		# Bash replaces only what it calls the current word, so leave out what comes before that.
		reply+=("${word#"${current%"$typed"}"}")
		((${#text} <= width)) || width=${#text}
	done <<<"${out%:*}"

	if ((${#reply[@]} == 1)) || [[ $COMP_TYPE -eq 37 || $COMP_TYPE -eq 42 ]]; then # inserted, not listed
		for word in "${reply[@]}"; do
			text=${word%%"$tab"*}
			if [[ $COMP_LINE != *[\"\']"$typed" ]]; then
				printf -v text %q "$text"
				text=${text//\\,/,}
			fi
			COMPREPLY+=("$text")
		done
		return 0
	fi
	((width -= ${#current} - ${#typed}))
	for word in "${reply[@]}"; do
		text=${word%%"$tab"*}
		if [[ $word == *"$tab"* ]]; then
			note=${word#*"$tab"}
			i=$((${COLUMNS:-80} - width - 4))
			((${#note} <= i)) || note=${note:0:i > 8 ? i - 1 : 0}…
			printf -v text "%-${width}s  (%s)" "$text" "$note"
		fi
		COMPREPLY+=("$text")
	done
}

complete -o default -F __cxgctl cxgctl
