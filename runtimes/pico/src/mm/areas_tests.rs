use super::*;
use alloc::vec;
use proptest::prelude::*;

fn area(start: u64, end: u64, prot: u32) -> Area {
    Area { start, end, prot, kind: Kind::Anonymous, reserved: prot == 0, file: None }
}

fn ranges(areas: &Areas) -> Vec<(u64, u64)> {
    areas.iter().map(|a| (a.start, a.end)).collect()
}

#[test]
fn neighbours_of_the_same_sort_merge() {
    let mut areas = Areas::default();
    areas.insert(area(10, 20, READ));
    areas.insert(area(30, 40, READ));
    areas.insert(area(20, 30, READ));
    areas.insert(area(40, 50, READ | WRITE));
    assert_eq!(ranges(&areas), vec![(10, 40), (40, 50)]);
    assert_eq!(areas.charged(), 40);
}

#[test]
fn file_areas_merge_only_where_the_file_goes_on() {
    let file = |start, end, offset| Area {
        file: Some((Rc::from("/lib"), offset)),
        kind: Kind::File,
        ..area(start, end, READ)
    };
    let mut areas = Areas::default();
    areas.insert(file(10, 20, 0));
    areas.insert(file(20, 30, 10));
    areas.insert(file(30, 40, 0));
    assert_eq!(ranges(&areas), vec![(10, 30), (30, 40)]);
    areas.remove(12, 14);
    assert_eq!(areas.find(14).and_then(|a| a.file.clone()), Some((Rc::from("/lib"), 4)));
}

#[test]
fn a_hole_in_the_middle_leaves_both_ends() {
    let mut areas = Areas::default();
    areas.insert(area(10, 50, READ));
    assert_eq!(areas.remove(20, 30), vec![area(20, 30, READ)]);
    assert_eq!(ranges(&areas), vec![(10, 20), (30, 50)]);
    assert_eq!(areas.charged(), 30);
    assert!(areas.is_free(20, 30) && !areas.is_free(19, 30) && !areas.is_free(20, 31));
}

#[test]
fn gaps_are_found_from_the_top() {
    let mut areas = Areas::default();
    areas.insert(area(80, 100, READ));
    areas.insert(area(40, 60, READ));
    assert_eq!(areas.gap_below(10, 10, 100), Some(70));
    assert_eq!(areas.gap_below(20, 10, 100), Some(60));
    assert_eq!(areas.gap_below(21, 10, 100), Some(19));
    assert_eq!(areas.gap_below(31, 10, 100), None);
}

#[test]
fn access_stops_at_holes_protection_and_kernel_pages() {
    let mut areas = Areas::default();
    areas.insert(area(10, 20, READ | WRITE));
    areas.insert(area(20, 30, READ));
    areas.insert(Area { kind: Kind::Kernel, ..area(30, 40, READ | WRITE) });
    assert_eq!(areas.extent(12, 100, READ), 30);
    assert_eq!(areas.extent(12, 100, WRITE), 20);
    assert_eq!(areas.extent(12, 15, WRITE), 15);
    assert_eq!(areas.extent(35, 100, READ), 35);
    assert!(areas.covers(10, 30) && !areas.covers(10, 31));
}

proptest! {
    /// Against a model that keeps one protection per cell.
    #[test]
    fn agrees_with_a_cell_by_cell_model(steps in prop::collection::vec((0u8..60, 1u8..20, 0u32..4), 1..60)) {
        let mut areas = Areas::default();
        let mut model = [None::<u32>; 80];
        for (start, len, prot) in steps {
            let (from, to) = (usize::from(start), usize::from(start + len));
            let (start, len) = (u64::from(start), u64::from(len));
            areas.remove(start, start + len);
            model[from..to].fill(None);
            if prot != 3 {
                areas.insert(area(start, start + len, prot));
                model[from..to].fill(Some(prot));
            }
            let seen: Vec<_> = (0..80).map(|at| areas.find(at).map(|a| a.prot)).collect();
            prop_assert_eq!(&seen[..], &model[..]);
            let charged = model.iter().flatten().filter(|&&p| p != 0).count() as u64;
            prop_assert_eq!(areas.charged(), charged);
            let gap = (0..=75).rev().find(|&at| model[at..at + 5].iter().all(Option::is_none));
            prop_assert_eq!(areas.gap_below(5, 0, 80), gap.map(|at| at as u64));
        }
    }
}
