use super::*;

fn pool() -> (Arc<Shells>, Arc<Totals>) {
    let totals = Arc::new(Totals::default());
    (Shells::new(totals.clone(), Arc::new(Fleet::new(100))), totals)
}

/// A shell that serves, and the other end of its socket.
fn busy(shells: &Shells) -> (Shell, OwnedFd) {
    let (shell, _, end) = shells.add(false).unwrap();
    (shell, end)
}

/// A place in the line, and whether a shell is to be made for it.
fn wait(shells: &Arc<Shells>) -> (Line, bool) {
    match shells.take() {
        Take::Wait { line, make } => (line, make),
        Take::Shell(_) => panic!("none should be idle"),
    }
}

fn idle(shells: &Shells) -> usize {
    shells.states().iter().filter(|(_, state)| state.phase != Phase::Serving).count()
}

#[tokio::test]
async fn who_waits_takes_what_comes_first() {
    let (shells, _) = pool();
    let (used, _used) = busy(&shells);
    let used_id = used.id;
    let (line, make) = wait(&shells);
    assert!(make, "nobody makes one yet");
    shells.put_back(used);
    assert_eq!(line.shell().await.ok().map(|shell| shell.id), Some(used_id));
    // The one that was made for it is idle then: a spare.
    let (made, _made) = busy(&shells);
    shells.made(made);
    assert_eq!(idle(&shells), 1);
    assert!(matches!(shells.take(), Take::Shell(shell) if shell.start == StartKind::New));
}

#[tokio::test]
async fn those_who_left_get_nothing_made() {
    let (shells, totals) = pool();
    let (first, first_makes) = wait(&shells);
    let (second, second_makes) = wait(&shells);
    assert!(first_makes && second_makes);
    drop((first, second));
    // The two being made are enough for the next two.
    let (third, third_makes) = wait(&shells);
    let (fourth, fourth_makes) = wait(&shells);
    let (fifth, fifth_makes) = wait(&shells);
    assert!(!third_makes && !fourth_makes && fifth_makes);
    let ends: Vec<OwnedFd> = [(); 3]
        .map(|()| {
            let (shell, end) = busy(&shells);
            shells.made(shell);
            end
        })
        .into();
    let got = [third, fourth, fifth].map(|line| async { line.shell().await.is_ok() });
    for one in got {
        assert!(one.await);
    }
    assert_eq!(totals.snapshot().shells, 0, "used and dropped");
    drop(ends);
}

#[tokio::test]
async fn a_shell_given_to_someone_who_left_is_kept() {
    let (shells, _) = pool();
    let (line, _) = wait(&shells);
    let (shell, _end) = busy(&shells);
    shells.made(shell);
    assert_eq!(idle(&shells), 0, "it is in the hands of who waits");
    drop(line);
    assert_eq!(idle(&shells), 1);
}

#[tokio::test]
async fn a_failure_is_told_to_who_waits_longest() {
    let (shells, _) = pool();
    let (first, _) = wait(&shells);
    let (second, _) = wait(&shells);
    shells.not_made("no memory");
    assert_eq!(first.shell().await.err().as_deref(), Some("no memory"));
    let (shell, _end) = busy(&shells);
    shells.made(shell);
    assert!(second.shell().await.is_ok());
    // With nobody waiting it is nobody's business.
    let (line, make) = wait(&shells);
    assert!(make);
    drop(line);
    shells.not_made("no memory");
}

#[tokio::test]
async fn a_line_without_a_cell_ends() {
    let (shells, _) = pool();
    let (line, _) = wait(&shells);
    shells.lock().waiting.clear();
    assert!(line.shell().await.is_err());
}
