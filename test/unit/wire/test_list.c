/* test_list.c: a ring, forwards and backwards. */
#include "wire/list.h"

#include "../../support/check_main.h"

typedef struct item {
    int number;
    imi_list_t link;
} item_t;

/* The numbers in order, as decimal digits; -1 if the way back differs. */
static int digits_of(const imi_list_t *list) {
    int forwards = 0, backwards = 0, unit = 1;
    for (const imi_list_t *node = list->next; node != list; node = node->next)
        forwards = forwards * 10 + IMI_CONTAINER(node, item_t, link)->number;
    for (const imi_list_t *node = list->previous; node != list; node = node->previous) {
        backwards += unit * IMI_CONTAINER(node, item_t, link)->number;
        unit *= 10;
    }
    return forwards == backwards ? forwards : -1;
}

START_TEST(a_list_is_empty_until_something_is_appended) {
    imi_list_t list;
    item_t item = {.number = 1};
    imi_list_init(&list);
    ck_assert(imi_list_is_empty(&list));
    imi_list_append(&list, &item.link);
    ck_assert(!imi_list_is_empty(&list));
    imi_list_remove(&item.link);
    ck_assert(imi_list_is_empty(&list));
}
END_TEST

START_TEST(nodes_stand_where_they_were_put) {
    imi_list_t list;
    item_t items[] = {{.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}, {.number = 5}};
    imi_list_init(&list);
    imi_list_append(&list, &items[0].link);
    imi_list_append(&list, &items[1].link);
    imi_list_insert_after(&items[0].link, &items[2].link);
    ck_assert_int_eq(digits_of(&list), 132);
    imi_list_insert_after(&list, &items[3].link); /* after the head: the front */
    imi_list_insert_after(&items[1].link, &items[4].link);
    ck_assert_int_eq(digits_of(&list), 41325);
}
END_TEST

START_TEST(removing_keeps_the_others_and_twice_is_harmless) {
    imi_list_t list;
    item_t items[] = {{.number = 1}, {.number = 2}, {.number = 3}};
    imi_list_init(&list);
    for (int i = 0; i < 3; i++)
        imi_list_append(&list, &items[i].link);
    imi_list_remove(&items[1].link);
    imi_list_remove(&items[1].link);
    ck_assert_int_eq(digits_of(&list), 13);
    ck_assert(imi_list_is_empty(&items[1].link));
    imi_list_append(&list, &items[1].link);
    ck_assert_int_eq(digits_of(&list), 132);
}
END_TEST

static Suite *list_suite(void) {
    Suite *suite = suite_create("list");
    TCase *tcase = tcase_create("list");
    tcase_add_test(tcase, a_list_is_empty_until_something_is_appended);
    tcase_add_test(tcase, nodes_stand_where_they_were_put);
    tcase_add_test(tcase, removing_keeps_the_others_and_twice_is_harmless);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(list_suite)
