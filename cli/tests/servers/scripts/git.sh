# git: a repository from its first commit to a clone: branches, merges, a conflict, gc, fsck, history, archives.
export GIT_AUTHOR_NAME=Ada GIT_AUTHOR_EMAIL=ada@example.org GIT_COMMITTER_NAME=Grace GIT_COMMITTER_EMAIL=grace@example.org
export GIT_PAGER=cat GIT_MERGE_AUTOEDIT=no
at() { export GIT_AUTHOR_DATE="$1 +0000" GIT_COMMITTER_DATE="$1 +0000"; }
# What a pack looks like depends on how many threads share the work.
git config --global pack.threads 1; git config --global init.defaultBranch main; git config --global advice.detachedHead false
at 1700000000
git init /tmp/work; cd /tmp/work
for n in $(seq 1 20); do
    at $((1700000000 + n * 60))
    seq 1 $((n * 50)) >numbers; echo "line $n" >>log; mkdir -p "d$((n % 3))"; echo "$n" >"d$((n % 3))/file$n"
    git add . && git commit -q -m "Change $n"
done
git log --oneline >/tmp/log; head -n 3 /tmp/log; wc -l </tmp/log
at 1700002000; git checkout -q -b side HEAD~5; echo side >side; git add side; git commit -m 'On the side'
at 1700002100; git checkout -q main; echo more >>log; git commit -q -a -m 'More'; git merge side
at 1700002200; git checkout -q -b conflict HEAD~1; echo other >>log; git commit -q -a -m 'Other'
git checkout -q main; echo mine >>log; git commit -q -a -m 'Mine'; git merge conflict; echo "merge: $?"; git status --short; git diff | tail -n 12
printf 'mine\nother\n' >>log; sed -i '/^[<=>]/d' log; git commit -q -a -m 'Both'; git log --graph --format='%h %an %ad %s' --date=iso -n 12
git mv side beside; git rm -q d1/file1; git stash; git stash pop; git reset -q --hard; git tag -a v1 -m 'Version 1'; git describe
git rebase -q --onto HEAD~2 HEAD~1 2>&1 | tail -n 1; git reset -q --hard v1
git blame -s log | tail -n 3; git grep -n 'line 1' -- log; git show --stat HEAD~3 | tail -n 4; git cat-file -p 'HEAD^{tree}'
git count-objects -v | sed -n '1p;3p'
git gc --quiet && git fsck --full --strict && git count-objects -v; git verify-pack -v .git/objects/pack/*.idx | tail -n 3
git clone -q /tmp/work /tmp/copy && git clone -q --depth 3 file:///tmp/work /tmp/shallow && git -C /tmp/shallow rev-list --count HEAD
git clone -q --bare /tmp/work /tmp/bare.git && cd /tmp/copy && echo pushed >pushed && git add pushed && git commit -q -m 'Pushed'
git push /tmp/bare.git main 2>&1; git -C /tmp/work fetch -q /tmp/bare.git main; git -C /tmp/work diff --stat main FETCH_HEAD
git archive --format=tar HEAD | sha256sum; git format-patch -1 --stdout | git -C /tmp/work apply --check && echo applies
git rev-parse HEAD 'HEAD^{tree}'; git status; git bundle create -q /tmp/bundle main && git bundle verify -q /tmp/bundle; echo $?
git commit -m nothing; echo $?; git checkout missing; echo $?; git -C /tmp log; echo $?
ls -R .git | grep '\.lock'
true
