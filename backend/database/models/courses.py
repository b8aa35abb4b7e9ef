from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.database.base import Base, Identified, Timestamped, Versioned
from backend.database.models.lessons import Lesson
from backend.database.search import Searchable


class Course(Identified, Timestamped, Versioned, Searchable, Base):
    __tablename__ = "courses"
    __history__ = True
    __mapper_args__ = {"version_id_col": Versioned.version}
    __table_args__ = (
        CheckConstraint("total_price >= 0", name="total_price_not_negative"),
        CheckConstraint("discount_price >= 0 AND discount_price <= total_price", name="discount_in_total"),
        Index("ix_courses_created", "created_at", "id"),
        Index("ix_courses_price", "total_price", "id"),
    )

    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(default="")
    total_price: Mapped[int]  # Stars
    discount_price: Mapped[int | None]  # Stars; asked instead of total_price when set
    is_active: Mapped[bool] = mapped_column(default=True)

    course_lessons: Mapped[list["CourseLesson"]] = relationship(
        lazy="raise", cascade="all, delete-orphan", order_by="CourseLesson.position", back_populates="course"
    )

    @property
    def asked_price(self) -> int:
        return self.total_price if self.discount_price is None else self.discount_price

    def search_text(self) -> str:
        return self.title


class CourseLesson(Identified, Base):
    __tablename__ = "course_lessons"
    __history__ = True
    __place__ = "position"
    __table_args__ = (
        UniqueConstraint("course_id", "lesson_id", name="uq_course_lessons_course_lesson"),
        UniqueConstraint("course_id", "position", name="uq_course_lessons_course_position"),
    )

    course_id: Mapped[int] = mapped_column(ForeignKey("courses.id", ondelete="CASCADE"))
    lesson_id: Mapped[int] = mapped_column(ForeignKey("lessons.id", ondelete="RESTRICT"), index=True)
    position: Mapped[int]  # from 1

    course: Mapped[Course] = relationship(lazy="raise", back_populates="course_lessons")
    lesson: Mapped[Lesson] = relationship(lazy="raise")

    def history_root(self) -> tuple[str, int]:
        return Course.__tablename__, self.course_id
